"""The picture kinds that the shared tests run over: how many pictures, and the form of their answers."""

ROWS = {
    "scenes": (1, r"[a-z ]+|[A-Z0-9]+|\d+"),
    "small": (1, r"[a-z ]+|[A-Z0-9]+"),
    "charts": (1, r"\d\d|[A-Z]{3}|[a-z]+"),
    "forms": (1, r"[A-Z]+|\d+"),
    "several": (None, r"[a-z]+|\d+|[A-Z0-9]+"),
    "turns": (1, r"[a-z ]+"),
    "video": (8, r"[a-z ]+|[123]"),
    "collages": (1, r"[a-z ]+|[A-Z0-9]+|\d+"),
    "easy_vqa": (1, r"[a-z]+"),
}
