"""What the product says about itself: logs without personal data, traces across processes."""
