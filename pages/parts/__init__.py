"""What several pages share: the frame, the colours, charts, forms, texts shown as they are, and the card."""
