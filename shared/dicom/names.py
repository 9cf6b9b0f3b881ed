"""What a person name consists of."""

GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
"""The component groups as the JSON calls them (PS3.18 §F.2.2), in the order in which `=` separates them."""
