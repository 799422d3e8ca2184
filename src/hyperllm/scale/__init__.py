"""The same stages on more than one machine, through Ray; nothing below needs it."""
