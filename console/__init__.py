"""What people touch: command line, pages."""
