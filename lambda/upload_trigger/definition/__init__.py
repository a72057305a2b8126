"""A definition read strictly and walked, its faults pointed at: shared with checks, engine and ops."""
