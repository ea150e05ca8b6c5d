from itertools import pairwise

strangers = pd.DataFrame(judge.read(sdnb.make_images(model, asks, range(100, 108), **few)))
anyone = (strangers.brows == truth["brows"]).mean()
never = share_of("photo of a man", "glasses", "round")[1]
jump = max(later - sooner for sooner, later in pairwise(smiles))
dimmer = (smiles[-1] - smiles[0]) / (len(smiles) - 1)
hats_asked = shares.loc["top hat asked for", ["LoRA", "word"]].min()
hats_unasked = (pd.DataFrame(judge.read(by_lora[:8])).hat == "top hat").mean()
redrawn = apart(again, Image.open(path))
says = [
    ("A seed draws the same in any company: apart", furthest, 0, 4, apart(three[0], three[1])),
    ("At the best weight ravo is recognised", known, 0.6, 1, sweep.loc[0, "recognised as ravo"]),
    ("and is where the prompt wants him", obeyed, 0.7, 1, "quick"),
    ("From 0.6 on he is in nearly all", sweep.iloc[2:, 0].min(), 0.8, 1, sweep.iloc[0, 0]),
    ("At 1.2 some miss their place", sweep.iloc[4, 1], 0.2, 0.9, sweep.iloc[2, 1]),
    ("With the LoRA his brows are right", shares.loc["brows", "LoRA"], 0.8, 1, anyone),
    ("With the word his brows are right", shares.loc["brows", "word"], 0.75, 1, anyone),
    ("0 does not mean gone: glasses", left, 0.4, 1, never),
    ("Trained, exported and baked in draw the same", differ, 0, 12, apart(same[1], three[0])),
    ("At 0.3 he is in some", sweep.iloc[1, 0], 0.1, 0.9, sweep.iloc[3, 0]),
    ("A weight is more of a switch than a dimmer: largest step", jump, 0.5, 1, dimmer),
    ("Hats follow the prompt with both: share", hats_asked, 0.75, 1, hats_unasked),
    ("With the LoRA all of him is there: share", shares.loc[fine, "LoRA"].min(), 0.75, 1, anyone),
    ("Drawn again from its own text: apart", redrawn, 0, 4, apart(three[0], three[1])),
]
