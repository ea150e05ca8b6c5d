"""Honest numbers: likeness, prompt fit, drift and diversity, each with its spread; the checkpoint
picker, the report, and a class's reports together."""

from sdnb.evaluation.class_page import write_class
from sdnb.evaluation.classroom import Classroom, read_reports
from sdnb.evaluation.dreambooth_protocol import (
    LIVE_PROMPTS,
    OBJECT_PROMPTS,
    ProtocolScores,
    dreambooth_protocol,
    protocol_eyes,
)
from sdnb.evaluation.eyes import Eye, eyes_for, load_clip, load_clip_eye, load_dino_eye
from sdnb.evaluation.parade import Parade, line_up, nearest_photo, through_autoencoder
from sdnb.evaluation.picker import Picked, load_weights, pick_checkpoint, wearing
from sdnb.evaluation.report import Report, report_of, write_report
from sdnb.evaluation.scores import Drawn, Number, Scores, draw, drift, measure, prompt_fit

__all__ = [
    "LIVE_PROMPTS",
    "OBJECT_PROMPTS",
    "Classroom",
    "Drawn",
    "Eye",
    "Number",
    "Parade",
    "Picked",
    "ProtocolScores",
    "Report",
    "Scores",
    "draw",
    "dreambooth_protocol",
    "drift",
    "eyes_for",
    "line_up",
    "load_clip",
    "load_clip_eye",
    "load_dino_eye",
    "load_weights",
    "measure",
    "nearest_photo",
    "pick_checkpoint",
    "prompt_fit",
    "protocol_eyes",
    "read_reports",
    "report_of",
    "through_autoencoder",
    "wearing",
    "write_class",
    "write_report",
]
