"""What Winnow runs on."""
