"""One training on several devices of a machine: processes started by torch's elastic launcher."""
