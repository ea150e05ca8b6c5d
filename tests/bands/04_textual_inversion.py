other = tensors(sdnb.load_model("cartoon"))
others = sum(not torch.equal(a, b) for a, b in zip(before, other, strict=True))
lora_kilobytes = sdnb.sample_trained("person_lora").stat().st_size / 1000
behind = losses["mug"].iloc[-1] - losses["man"].iloc[-1]
says = [
    ("Not one other tensor moved", moved, 0, 0, others),
    ("A file of a few kilobytes", kilobytes, 1, 10, lora_kilobytes),
    ("The line-up recognises ravo", likeness, 0.6, 1, "quick"),
    ("The wrong init word stays behind: loss", behind, 0.001, 0.01, "quick"),
    ("Three vectors know him better than one: by", scores[3] - scores[1], 0.12, 1, "quick"),
]
