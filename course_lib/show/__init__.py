"""Pictures in the house style, explorers and tables."""
