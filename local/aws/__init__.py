"""AWS on loopback: moto with five seams replaced (docs/architecture.md)."""
