"""The formats of exports: one file each, found by `registry`, which needs no entry for a new one."""
