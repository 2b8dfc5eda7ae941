"""What a process sets up first, its standard streams and garbage collector; and how it handles the code of plugins."""
