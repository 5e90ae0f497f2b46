"""Writing an agreement by answering questions: what is asked, how an answer is read, and the file that it makes."""
