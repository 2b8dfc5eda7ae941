"""What a process of this project sets up first: its standard streams, its garbage collector."""
