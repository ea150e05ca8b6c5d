nobody, lost = results.loc[0, "recognised"], own["style kept"]
word = of_word["cartoon"]
times, apart = distance["unet"] / by_lora["unet"], distance["text_encoder"]
says = [
    ("The cartoon base lies so far away", distance["unet"], 0.05, 0.5, distance["text_encoder"]),
    ("The LoRA moves to it: recognised", there["recognised"], 0.45, 1, nobody),
    ("and most pictures stay cartoons", there["style kept"], 0.6, 1, lost),
    ("The word moves too: recognised", word["recognised"], 0.5, 1, nobody),
    ("and its cartoons stay cartoons", word["style kept"], 0.85, 1, lost),
    ("Trained on the cartoon base: recognised", own["recognised"], 0.4, 1, nobody),
    ("It lies so many times as far as the LoRA moves it", times, 3, 6, apart),
    ("Both bases have one text encoder: apart", apart, 0, 0, distance["unet"]),
    ("The face comes in by degrees: recognised at 1.2", results.iloc[3, 0], 0.6, 1, nobody),
    ("Trained on the cartoon base, the cartoons are gone", lost, 0, 0.2, there["style kept"]),
]
