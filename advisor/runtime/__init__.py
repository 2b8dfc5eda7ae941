"""Where code runs and where bytes lie: devices, cache, run directory, clock, seeded draws."""
