"""Two made-up companies, an online shop and a software company, to look at the product with."""
