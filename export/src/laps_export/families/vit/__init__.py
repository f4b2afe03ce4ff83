"""A vision transformer on every frame, alone (ViT Video) or with class tokens that shift along time (TokShift)."""
