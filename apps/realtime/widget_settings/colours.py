"""Whether text on a colour can be read, by WCAG 2.2."""

READABLE = 4.5
LIGHT, DARK = "#ffffff", "#000000"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours `#rrggbb`, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(color: str, wish: str = "auto") -> str:
    """Return the colour of text on `color`: the one wished for, or the more readable one."""
    if wish != "auto":
        return LIGHT if wish == "light" else DARK
    return LIGHT if contrast(color, LIGHT) >= READABLE else DARK


def _luminance(color: str) -> float:
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
