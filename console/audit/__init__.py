"""`winnow audit`: what a node's evidence says, in words and for programs, and whether it holds."""
