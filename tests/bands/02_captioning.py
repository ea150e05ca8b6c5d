written = sum("hair" not in photo.caption for photo in sdnb.read_photos(mine, 128))
made_of = {"glasses": glasses, "hat": hats}
unasked = {what: rows["not named"][0] - rows["named"][0] for what, rows in made_of.items()}
asked = {what: min(row[1] for row in rows.values()) for what, rows in made_of.items()}
says = [
    ("Captions that are silent about the hair", changed, 20, 20, written),
    ("Worn unasked, more of 16 if not named: glasses", unasked["glasses"], 11, 16, "quick"),
    ("Worn unasked, more of 8 if not named: cap", unasked["hat"], 3, 8, "quick"),
    ("Asked for, glasses in so many of 16", asked["glasses"], 14, 16, glasses["named"][0]),
    ("Asked for, a cap in so many of 8", asked["hat"], 7, 8, hats["named"][0]),
]
