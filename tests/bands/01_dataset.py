good = sum(p.grade > 0 for p in my_checkup.photos) / len(my_checkup.photos)
moved, far_off = checkup.photos[1], likeness["10 %"]
fives = [known for count, known in by_number.items() if count != 20]
in_bucket, in_square = loss["lost"].max(), loss["square"].max()
says = [
    ("The doctor finds the spoiled photos: share", faults / len(checkup.photos), 0.5, 0.95, good),
    ("The crop brings the head to half", moved.share_cropped, 0.4, 0.7, moved.share),
    ("Photos at 60 %: recognised", likeness["60 %"], 0.33, 1, far_off),
    ("Significantly worse at 10 %: recognised", far_off, 0, 0.3, likeness["60 %"]),
    ("15 photos are enough, and here even 5", min(fives), 0.2, 1, "quick"),
    ("You drew somebody: recognised", known, 0.1, 1, "quick"),
    ("The crop brings much of it back: recognised", likeness["10 %, cropped"], 0.2, 1, far_off),
    ("A bucket loses less than a square: at most", in_bucket, 0, 0.2, in_square),
]
