nobody = results[0][0]  # recognised at weight 0
says = [
    ("The cartoon base lies so far away", distance["unet"], 0.05, 0.5, distance["text_encoder"]),
    ("The LoRA moves to it: recognised", there, 0.45, 1, nobody),
    ("and most pictures stay cartoons", kept, 0.6, 1, lost),
    ("The word moves too: recognised", of_word["cartoon"][0], 0.5, 1, nobody),
    ("and its cartoons stay cartoons", of_word["cartoon"][1], 0.85, 1, lost),
    ("Trained on the cartoon base: recognised", lost_face, 0.4, 1, nobody),
]
