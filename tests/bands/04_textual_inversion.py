other = tensors(sdnb.load_model("cartoon"))
others = sum(not torch.equal(a, b) for a, b in zip(before, other, strict=True))
lora_kilobytes = sdnb.sample_trained("person_lora").stat().st_size / 1000
behind = losses["mug"].iloc[-1] - losses["man"].iloc[-1]
usual, level = table.norm(dim=1).mean().item(), scores[3] - scores[8]
longer, as_begun = sum(lengths) / len(lengths) / usual, 1.0
more = {name: count / trains["Textual Inversion"] for name, count in trains.items()}
part = paces["Textual Inversion"] / paces["LoRA"]
says = [
    ("Not one other tensor moved", moved, 0, 0, others),
    ("A file of a few kilobytes", kilobytes, 1, 10, lora_kilobytes),
    ("The line-up recognises ravo", likeness, 0.6, 1, "quick"),
    ("The wrong init word stays behind: loss", behind, 0.001, 0.01, "quick"),
    ("The rows are several times longer than a usual one", longer, 3, 12, as_begun),
    ("Three vectors are as good as eight: apart", level, -0.13, 1, -scores[8]),
    ("LoRA trains so many times as many numbers", more["LoRA"], 500, 2000, more["DreamBooth"]),
    ("DreamBooth so many times", more["DreamBooth"], 5000, 20000, more["LoRA"]),
    ("and yet a word takes a good part of the time", part, 0.3, 1.2, 1 / more["LoRA"]),
]
