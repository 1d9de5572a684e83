"""What every adapter promises, as checks that a third party runs on its own (docs/adapters.md)."""
