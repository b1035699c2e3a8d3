"""An exchange of our own that speaks the venue's wire protocol."""
