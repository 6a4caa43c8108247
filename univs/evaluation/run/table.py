"""The benchmarks that `univs evaluate` runs on public sets: one entry each."""

from __future__ import annotations

from univs.evaluation.run.benchmark import Benchmark, Figure
from univs.evaluation.run.official_metric import OfficialMetric
from univs.evaluation.run.questions import ask_classes, ask_described, ask_named_and_shown, ask_shown
from univs.evaluation.run.server import Server, masks_of_expressions, masks_of_objects
from univs.formats import (
    burst,
    camvid,
    class_maps,
    coco_panoptic,
    davis,
    kitti_mots,
    ref_davis,
    ref_youtube_vos,
    viposeg,
    vipseg,
    vspw,
    youtube_vos,
    ytvis,
)
from univs.formats.answer_writer import MaskFolders

J_AND_F = (Figure("J&F", "J&F-Mean"), Figure("J", "J-Mean"), Figure("F", "F-Mean"))
TUBES = tuple(Figure(name, name, unknown=-1.0) for name in ("AP", "AP50", "AP75", "AR1", "AR10"))
YOUTUBE_VOS = (
    Figure("G", "G"),
    *(Figure(f"{measure} {known}", f"{measure}_{known}") for measure in "JF" for known in ("seen", "unseen")),
)
VIPOSEG_GROUPS = tuple(
    Figure(f"{kind} {known}", f"{kind}_{known}_iou") for kind in ("thing", "stuff") for known in ("seen", "unseen")
)

DAVIS_METRIC = OfficialMetric("davis2017_semisupervised", davis.truth)
YOUTUBE_VOS_METRIC = OfficialMetric("youtube_vos", youtube_vos.truth)
VIS_SERVER = Server(("valid", "test"))
VOS_SERVER = Server(("valid", "test"), masks_of_objects, "Annotations/")

BENCHMARKS: dict[str, Benchmark] = {
    name: Benchmark(
        name, "vis", ask_classes, ytvis.Tracks, OfficialMetric("youtube_vis", ytvis.truth), TUBES, VIS_SERVER
    )
    for name in ("ytvis19", "ytvis21", "ovis")
}
BENCHMARKS |= {
    "vspw": Benchmark(
        "vspw",
        "vss",
        ask_classes,
        class_maps.ClassFolders,
        OfficialMetric("vspw", vspw.truth, {"labels": "raw"}),
        (Figure("mIoU", "mIoU"), Figure("fwIoU", "fwIoU"), Figure("mVC8", "mVC8"), Figure("mVC16", "mVC16")),
    ),
    "vipseg": Benchmark(
        "vipseg",
        "vps",
        ask_classes,
        vipseg.PanopticVideos,
        OfficialMetric("vipseg_vpq_stq", vipseg.truth),
        (
            Figure("VPQ", "VPQ", 1),
            Figure("VPQ things", "VPQ things", 1),
            Figure("VPQ stuff", "VPQ stuff", 1),
            Figure("STQ", "STQ"),
        ),
    ),
}
BENCHMARKS |= {
    name: Benchmark(name, "vos", ask_shown, MaskFolders, metric, figures, server)
    for name, metric, figures, server in (
        ("davis17", DAVIS_METRIC, J_AND_F, Server(("test-dev", "test-challenge"), masks_of_objects)),
        ("mose", DAVIS_METRIC, J_AND_F, Server(("valid",), masks_of_objects)),
        ("ytvos18", YOUTUBE_VOS_METRIC, YOUTUBE_VOS, VOS_SERVER),
        ("ytvos19", YOUTUBE_VOS_METRIC, YOUTUBE_VOS, VOS_SERVER),
    )
}
BENCHMARKS |= {
    "burst": Benchmark(
        "burst",
        "vos",
        ask_shown,
        burst.GivenTracks,
        OfficialMetric("burst", burst.truth, {"task": "exemplar_guided"}),
        (Figure("HOTA", "HOTA all", 1), Figure("common", "HOTA common", 1), Figure("uncommon", "HOTA uncommon", 1)),
    ),
    "ref_davis17": Benchmark(
        "ref_davis17",
        "refvos",
        ask_described,
        ref_davis.AnnotatorFolders,
        OfficialMetric("ref_davis17", ref_davis.truth),
        J_AND_F,
    ),
    "ref_ytvos": Benchmark(
        "ref_ytvos",
        "refvos",
        ask_described,
        ref_youtube_vos.ExpressionFolders,
        OfficialMetric("ref_expressions", ref_youtube_vos.truth),
        tuple(Figure(name, name) for name in ("J&F", "J", "F")),
        server=Server(("valid", "test"), masks_of_expressions, "Annotations/"),
    ),
    "viposeg": Benchmark(
        "viposeg",
        "pvos",
        ask_named_and_shown,
        MaskFolders,
        OfficialMetric("viposeg_pvos", viposeg.truth),
        (Figure("G", "G"), *VIPOSEG_GROUPS, Figure("decay", "decay", 1)),
    ),
    "kitti_mots": Benchmark(
        "kitti_mots",
        "vis",
        ask_classes,
        kitti_mots.TrackLines,
        OfficialMetric("kitti_mots", kitti_mots.truth),
        tuple(Figure(f"{key} {name}", f"{key} {name}") for name in ("car", "pedestrian") for key in ("HOTA", "sMOTSA")),
    ),
    "coco_panoptic": Benchmark(
        "coco_panoptic",
        "vps",
        ask_classes,
        coco_panoptic.PanopticImages,
        OfficialMetric("panoptic_quality", coco_panoptic.truth),
        (Figure("PQ", "PQ"), Figure("PQ things", "PQ things"), Figure("PQ stuff", "PQ stuff")),
    ),
    "camvid": Benchmark(
        "camvid",
        "vss",
        ask_classes,
        camvid.ClassFiles,
        OfficialMetric("camvid", camvid.truth),
        (Figure("mIoU", "mIoU"), Figure("accuracy", "pixel_accuracy")),
    ),
}

OF_PAPERS = (
    "ytvis19",
    "ytvis21",
    "ovis",
    "vspw",
    "vipseg",
    "davis17",
    "ytvos18",
    "ref_davis17",
    "ref_ytvos",
    "viposeg",
)
"""The ten of the paper's table, in its order."""
