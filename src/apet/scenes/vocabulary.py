"""What the drawn scenes are made of: names, colours, shapes and printed words."""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (242, 134, 24),
    "yellow": (246, 216, 48),
    "green": (40, 158, 62),
    "blue": (36, 84, 214),
    "purple": (130, 48, 178),
    "pink": (248, 136, 190),
    "white": (246, 246, 246),
    "black": (18, 18, 18),
}
"""Colour names and their sRGB values before jitter."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "diamond", "cross", "star", "ring", "moon")

REGIONS: tuple[tuple[str, str, str], ...] = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
"""Names of the nine thirds of a picture, row by row."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

WORDS: tuple[str, ...] = tuple(
    """
    ACE ACID ALARM APPLE ARROW ATLAS BAKER BANK BEACH BIRD BLOCK BOAT BOOK BRICK BRIDGE BUS CABLE
    CAFE CAMP CANDLE CARGO CASTLE CHALK CITY CLOCK CLOUD COAST COFFEE COPPER CORAL CRANE CROWN
    DANGER DESK DOCK DOOR DRAGON DRUM EAGLE EARTH ENGINE ENTRY EXIT FARM FERRY FIELD FIRE FLAG FLUTE
    FOREST FROST GARDEN GATE GIANT GLASS GOLD GRAPE GUIDE HARBOR HILL HONEY HORSE HOTEL HOUSE ICE
    INDEX ISLAND IVORY JACKET JAZZ JEWEL JUICE JUNGLE KAYAK KEY KITE KNIGHT LADDER LAKE LAMP LEMON
    LIGHT LION MAGNET MAPLE MARKET METAL METRO MILK MIRROR MOUSE MUSIC NIGHT NORTH NOVA OASIS OCEAN
    OFFICE OLIVE ONYX OPEN OTTER PAINT PALACE PANDA PAPER PEARL PIANO PILOT PLANET PORT QUARTZ QUEEN
    QUIET QUIZ RADIO RAIL RAVEN RIVER ROBOT ROCKET SALT SCHOOL SHIP SILVER SNOW SOUTH STONE STOP
    SUGAR TAXI TEMPLE TIGER TOWER TRAIN TUNNEL UNION URBAN VALLEY VELVET VIDEO VIOLET WAGON WATER
    WHEEL WINDOW WINTER WOLF YACHT YARD ZEBRA ZERO ZOO
    """.split()  # noqa: SIM905 - a list literal would be 170 lines
)
"""Words that are printed in scenes; a quarter of all printed words are random letters instead."""
