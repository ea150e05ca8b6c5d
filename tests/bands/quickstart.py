if scores:
    says = [
        ("Likeness, after", scores["likeness"][encoder.name].mean, 0.7, 1, old.mean),
    ]
