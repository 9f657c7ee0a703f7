"""The demo companies' sites: what is on them and who is signed in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    name: str
    price: str
    text: str
    picture: str


@dataclass(frozen=True)
class Site:
    slug: str
    name: str
    claim: str
    template: str
    customer_external_id: str
    customer_name: str
    customer_email: str
    questions: tuple[str, ...]
    products: tuple[Product, ...] = ()


SHOP = Site(
    slug="shop",
    name="Harbor Goods",
    claim="Sturdy things for wind, salt and Sunday walks.",
    template="realtime/shop.html",
    customer_external_id="ada",
    customer_name="Ada Lovelace",
    customer_email="ada@example.com",
    questions=(
        "Where is my order 1042?",
        "How long do I have to return an item?",
        "Do you ship to Norway, and what does it cost?",
        "How do I wash a waxed jacket?",
    ),
    products=(
        Product(
            "Skipper rain jacket", "€129.00", "Waterproof, taped seams, packs into its pocket.", "jacket"
        ),
        Product("Pier canvas tote", "€39.00", "Waxed cotton that shrugs off a shower.", "tote"),
        Product("Enamel mug, two", "€24.00", "Survives the deck, the campfire and the dishwasher.", "mug"),
        Product("Storm lantern", "€58.00", "Eight hours of warm light on one fill.", "lantern"),
    ),
)

SOFTWARE = Site(
    slug="software",
    name="Nimbus Software",
    claim="Backups that restore. Every night, every file, every time.",
    template="realtime/software.html",
    customer_external_id="grace",
    customer_name="Grace Hopper",
    customer_email="grace@example.com",
    questions=(
        "How do I reset my password?",
        "What is included in the Team plan?",
        "Can I export all my data?",
        "I would like to talk to sales about 200 seats.",
    ),
)

SITES = {site.slug: site for site in (SHOP, SOFTWARE)}
