before, greedy = table["base"], gib["AdamW, text encoder too"].sum()
leak = first["a man is ravo"] - second["a man is ravo"]
all_moved = sum(moved["unet"]) / len(moved["unet"])
says = [
    ("DreamBooth fits a T4 with Adafactor and checkpointing: GiB", least, 8, 10, greedy),
    ("A model of SD 1.5 in fp16 takes GB", size, 2, 2.3, files["fp32"] / 1e9),
    ("All of the UNet's tensors moved: share", all_moved, 1, 1, "untrained"),
    ("DreamBooth: recognised", first["ravo is ravo"], 0.6, 1, before["ravo is ravo"]),
    ("It leaks: a man is ravo", first["a man is ravo"], 0.5, 1, before["a man is ravo"]),
    ("Class pictures stop most of the leak: by", leak, 0.5, 1, "quick"),
    ("and ravo is recognised all the same", second["ravo is ravo"], 0.6, 1, "quick"),
]
