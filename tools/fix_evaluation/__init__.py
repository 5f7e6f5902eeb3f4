"""How often fixes are proven, and whether what was proven holds on seeds that no trial saw: `make evaluate`."""
