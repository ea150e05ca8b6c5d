drifts = {method: found["drift"]["CLIP (mini)"].mean for method, found in scores.items()}
nobody = base["line-up"]["judge"].mean
says = [
    ("The best method is recognised", like[best].mean, 0.5, 1, nobody),
    ("LoRA is recognised", like["LoRA"].mean, 0.25, 1, nobody),
    ("DreamBooth is recognised", like["DreamBooth"].mean, 0.5, 1, nobody),
    ("A word moves nobody else: drift", drifts["Textual Inversion"], 0, 0.001, drifts["LoRA"]),
    ("A LoRA moves a man too: drift", drifts["LoRA"], 0.1, 0.4, drifts["Textual Inversion"]),
    ("DreamBooth moves a man too: drift", drifts["DreamBooth"], 0.1, 0.7, 0),
]
