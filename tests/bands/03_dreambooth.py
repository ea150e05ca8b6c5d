before, greedy = table["base"], gib["AdamW, text encoder too"].sum()
leak = first["a man is ravo"] - second["a man is ravo"]
all_moved = sum(moved["unet"]) / len(moved["unet"])
far = sdnb.evaluation.compare_weights(model, trained)
marks = {n: sdnb.mini.counts(judge.read(drawn[n, "someone else"]), "mark") for n, _ in drawn}
locks = {name: found.get("white lock", 0) / 8 for name, found in marks.items()}
says = [
    ("DreamBooth fits a T4 with Adafactor and checkpointing: GiB", least, 8, 10, greedy),
    ("A model of SD 1.5 in fp16 takes GB", size, 2, 2.3, files["fp32"] / 1e9),
    ("All of the UNet's tensors moved: share", all_moved, 1, 1, "untrained"),
    ("DreamBooth: recognised", first["ravo is ravo"], 0.6, 1, before["ravo is ravo"]),
    ("It leaks: a man is ravo", first["a man is ravo"], 0.5, 1, before["a man is ravo"]),
    ("Class pictures stop most of the leak: by", leak, 0.5, 1, "quick"),
    ("and ravo is recognised all the same", second["ravo is ravo"], 0.6, 1, "quick"),
    ("Each weight moves only a little: by", far["unet"], 0.005, 0.05, far["vae"]),
    ("Even the woman has his white lock: share", locks["DreamBooth"], 0.25, 1, locks["base"]),
    ("With class pictures few women have", locks["class pictures"], 0, 0.5, locks["DreamBooth"]),
]
