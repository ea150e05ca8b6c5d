named = [{"place": "city"}, {"place": "city"}, {"place": "beach"}]
named += [{"hat_colour": "green", "place": "beach"}, {"glasses": "round", "place": "beach"}]
drawn = judge.read(sdnb.make_images(model, prompts, [2] * len(prompts)))
obeyed = [read[name] == what for read, words in zip(drawn, named) for name, what in words.items()]
hair = [read["hair_colour"] for read in drawn[2:]]
scattered = 3 * max(strangers_hair.values()) / len(strangers)
same_hair = max(map(hair.count, hair))
says = [
    ("What you name changes: share of it seen", sum(obeyed) / len(obeyed), 0.8, 1, "quick"),
    ("Each seed another person: ravo's hair colours", len(strangers_hair), 3, 9, len(photos_hair)),
    ("The unsaid often stays: her hair colour, of 3", same_hair, 2, 3, scattered),
]
