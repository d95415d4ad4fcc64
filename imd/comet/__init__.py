"""The edge: who is connected here, and how bytes reach them."""
