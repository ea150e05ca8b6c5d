def apart_of(one, other):
    return max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes()))


strangers = judge.read(sdnb.make_images(model, asks, range(100, 108), **few))
anyone = share(strangers, "brows", truth["brows"])
never = share_of("photo of a man", "glasses", "round")[1]
says = [
    ("A seed draws the same in any company: apart", furthest, 0, 4, apart_of(three[0], three[1])),
    ("At the best weight ravo is recognised", known[best], 0.6, 1, known[0]),
    ("and is where the prompt wants him", obeyed[best], 0.7, 1, "quick"),
    ("With the LoRA his brows are right", brows["LoRA"], 0.8, 1, anyone),
    ("With the word his brows are right", brows["word"], 0.75, 1, anyone),
    ("0 does not mean gone: glasses", left, 0.4, 1, never),
    ("Trained, exported and baked in draw the same", apart, 0, 12, apart_of(live, three[0])),
]
