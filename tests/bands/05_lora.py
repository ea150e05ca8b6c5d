full, dust = (B @ A == 0).double().mean(), 1 - kept.double().mean()
left = trained["with the LoRA"] / trained["base"]
unet_megabytes = 4e-6 * model.numbers["UNet"]
unasked = worn[1] / len(without)
on_photos = 1 - sdnb.mini.counts(judge.read(images), "glasses").get("none", 0) / len(images)
learned_change = (lora_linear(x, W, A, B, alpha) - x @ W.T).abs().max()
says = [
    ("LoRA is full, not sparse: share of zeros", full, 0, 0.01, dust),
    ("A small file: MB", megabytes, 1, 3, unet_megabytes),
    ("The line-up recognises ravo after the training", after, 0.5, 1, before),
    ("Glasses come when asked: share", worn[0] / len(with_glasses), 0.75, 1, unasked),
    ("and else not, though all photos have them", unasked, 0, 0.25, on_photos),
    ("The noise level moves the loss many times", falls, 50, 500, 1 / left),
    ("Training leaves so much of the loss at level 300", left, 0.3, 0.6, "untrained"),
    ("A LoRA before its first step changes nothing", change, 0, 0, learned_change),
    ("peft and the hand agree: apart", difference, 0, 1e-4, learned_change),
    ("200 MB take rank 128 and every layer: MB", sizes.iloc[-1, -1], 150, 300, sizes.iloc[-1, 0]),
    ("Rank 16 on attention takes MB", sizes.loc[16, "attention"], 12, 13.5, sizes.iloc[-1, -1]),
    ("Twice the photos, twice the memory", memory[8] / memory[4], 1.7, 2.2, memory[8] / memory[1]),
]
