"""From a product to the JSON that answers carry: made once, when a generation is built. Pure."""

import msgspec

from services.catalogue import Categories, Product
from services.contracts import ProductAnswer

SHOWN_FIRST = ("color", "size", "material", "pattern", "gender", "age_group", "condition")
"""Attributes that a result list shows before others, when the product has them."""
MAX_SHOWN = 6
MAX_SHOWN_CHARS = 60

_encode = msgspec.json.Encoder().encode


def summary_json(product: Product, categories: Categories, currency: str) -> bytes:
    """{title, brand, price_cents, currency, category (names from the department down), image_link, attributes (selected)}"""
    return _encode(
        {
            "title": product.title,
            "brand": product.brand,
            "price_cents": product.price_cents,
            "currency": currency,
            "category": categories.path(product.category_id),
            "image_link": product.image_link,
            "attributes": shown_attributes(product.attributes),
        }
    )


def product_json(product: Product, categories: Categories, currency: str) -> bytes:
    """Everything that the catalogue says about a product (contracts.ProductAnswer)."""
    return _encode(
        ProductAnswer(
            product_id=product.product_id,
            title=product.title,
            brand=product.brand,
            description=product.description,
            price_cents=product.price_cents,
            currency=currency,
            category_id=None if product.category_id < 0 else product.category_id,
            category=categories.path(product.category_id),
            image_link=product.image_link,
            created_ms=product.created_ms,
            attributes=product.attributes,
        )
    )


def shown_attributes(attributes: dict[str, str]) -> dict[str, str]:
    """At most six short attributes: those that shoppers choose by, then the others in catalogue order."""
    names = [n for n in SHOWN_FIRST if n in attributes] + [n for n in attributes if n not in SHOWN_FIRST]
    short = [n for n in names if 0 < len(attributes[n]) <= MAX_SHOWN_CHARS]
    return {name: attributes[name] for name in short[:MAX_SHOWN]}
