"""What a process sets up first, its streams and garbage collector; how it waits for others; how it handles plugins."""
