nobody, lost = results.loc[0, "recognised"], own["style kept"]
word = of_word["cartoon"]
says = [
    ("The cartoon base lies so far away", distance["unet"], 0.05, 0.5, distance["text_encoder"]),
    ("The LoRA moves to it: recognised", there["recognised"], 0.45, 1, nobody),
    ("and most pictures stay cartoons", there["style kept"], 0.6, 1, lost),
    ("The word moves too: recognised", word["recognised"], 0.5, 1, nobody),
    ("and its cartoons stay cartoons", word["style kept"], 0.85, 1, lost),
    ("Trained on the cartoon base: recognised", own["recognised"], 0.4, 1, nobody),
]
