"""Speaks to a product: role_product.py."""
