"""How a widget looks, speaks and behaves, as its company has set it."""
