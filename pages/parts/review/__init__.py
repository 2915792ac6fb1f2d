"""Parts of Check and Review around the card."""
