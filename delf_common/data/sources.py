# SPDX-License-Identifier: Apache-2.0
"""Where every data set and weight file lies, what is in it, and what is known of it.

Data only. Sizes are bytes, as the publishers state them, so mostly round. A checksum
stands here where its publisher (or, for Keras, its own loader) states one; for others
the first download's checksum is recorded and checked from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["tar", "tgz", "zip", "csv", "pickle", "mat", "h5"]


@dataclass(frozen=True)
class Part:
    """One file to download.

    Args:
        name: what to call it on the command line and in the record.
        url: its address.
        path: where it goes, below the output folder; "/" between folders.
        kind: what it must be; a web page in its place is refused.
        size: bytes, approximately; None where nobody states it.
        checksum: "md5:..." or "sha256:...", where it is known.
        md5_url: address of a file whose first field is the md5.
        unpack: folder to unpack an archive into, below the output folder.
        flatten: unpack every file into that folder itself, without subfolders.
        strip: leading folders of the archive that are dropped.
        leave_out: names of files that are not unpacked.
        header: first line of a csv.
        optional: fetched only when it is named.
    """

    name: str
    url: str
    path: str
    kind: Kind
    size: int | None = None
    checksum: str | None = None
    md5_url: str | None = None
    unpack: str | None = None
    flatten: bool = False
    strip: int = 0
    leave_out: frozenset[str] = frozenset()
    header: str = ""
    optional: bool = False


DATASETS = ("gldv2", "oxford5k", "paris6k", "revisited", "pretrained")

# Google Landmarks v2: Weyand et al., CVPR 2020; layout as its repository gives it.
GLDV2 = "https://s3.amazonaws.com/google-landmark"
GLDV2_TARS = {"train": 500, "index": 100, "test": 20}
GLDV2_TAR_BYTES = 633_000_000_000 // 620  # all tars of the three splits, as stated
GLDV2_TABLES = {  # file name: (folder it goes to, first line)
    "train.csv": ("train", "id,url,landmark_id"),
    "train_clean.csv": ("train", "landmark_id,images"),
    "train_attribution.csv": ("train", "id,url,author,license,title"),
    "train_label_to_category.csv": ("train", "landmark_id,category"),
    "index.csv": ("index", "id"),
    "test.csv": ("test", "id"),
}
GLDV2_TRUTH = {
    "recognition_solution_v2.1.csv": "id,landmarks,Usage",
    "retrieval_solution_v2.1.csv": "id,images,Usage",
}

# Oxford5k, Paris6k: Philbin et al., CVPR 2007 and 2008.
VGG = "https://www.robots.ox.ac.uk/~vgg/data"
IMAGES = {  # data set: folder of its images, how many are published
    "oxford5k": ("oxford5k_images", 5062),
    "paris6k": ("paris6k_images", 6392),  # without the corrupt ones
}
PARIS6K_CORRUPT = frozenset(  # the publishers' corrupt.txt
    f"paris_{name}.jpg"
    for name in (
        "louvre_000136",
        "louvre_000146",
        "moulinrouge_000422",
        "museedorsay_001059",
        "notredame_000188",
        "pantheon_000284",
        "pantheon_000960",
        "pantheon_000974",
        "pompidou_000195",
        "pompidou_000196",
        "pompidou_000201",
        "pompidou_000467",
        "pompidou_000640",
        "sacrecoeur_000299",
        "sacrecoeur_000330",
        "sacrecoeur_000353",
        "triomphe_000662",
        "triomphe_000833",
        "triomphe_000863",
        "triomphe_000867",
    )
)

# Revisited Oxford and Paris: Radenovic et al., CVPR 2018.
REVISITED = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
REVISITED_SETS = ("roxford5k", "rparis6k")

# Weights.
KERAS_H5 = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS = "https://github.com/fchollet/deep-learning-models/releases/download/v0.2"
KERAS_MD5 = "md5:a268eb855778b3df3c7506639542a6af"  # as Keras' own loader has it
DELF = "https://storage.googleapis.com/delf"
DELF_PACKAGES = (
    "delf_v1_20171026",
    "delf_gld_20190411",
    "delg_gld_20200520",
    "r50delg_gld_20200814",
    "r101delg_gld_20200814",
    "r50delg_gldv2clean_20200914",
    "r101delg_gldv2clean_20200914",
)
DELF_OPTIONAL = (
    "resnet50_imagenet_weights",  # the Keras file again, as the originals fetch it
    "rn101_af_gldv2clean_20200814",
    "d2r_frcnn_20190411",
    "d2r_mnetssd_20190411",
    "rparis6k_codebook_65536",
    "rparis6k_codebook_1024",
    "roxford5k_codebook_65536",
    "roxford5k_codebook_1024",
)
# The MindSpore DELF's PCA matrices: the archive holds delf_-pca-master/pca/*.npy.
PCA = "https://gitee.com/LinPeijia/delf_-pca/repository/archive/master.zip"


def parts_of(dataset: str) -> list[Part]:
    """List every file of a data set, the optional ones too."""
    makers = {
        "gldv2": gldv2,
        "oxford5k": oxford5k,
        "paris6k": paris6k,
        "revisited": revisited,
        "pretrained": pretrained,
    }
    return makers[dataset]()


def gldv2() -> list[Part]:
    """Tables first: they are small, and a training needs them all."""
    tables = [
        Part(name, f"{GLDV2}/metadata/{name}", f"{to}/{name}", "csv", header=header)
        for name, (to, header) in GLDV2_TABLES.items()
    ]
    truth = [
        Part(
            name,
            f"{GLDV2}/ground_truth/{name}",
            f"ground_truth/{name}",
            "csv",
            header=header,
        )
        for name, header in GLDV2_TRUTH.items()
    ]
    tars = [
        gldv2_tar(split, number)
        for split, count in GLDV2_TARS.items()
        for number in range(count)
    ]
    return tables + truth + tars


def gldv2_tar(split: str, number: int) -> Part:
    """Describe one archive of images; it unpacks to ``<split>/a/b/c/<id>.jpg``."""
    name = f"{split}/images_{number:03d}.tar"
    return Part(
        name,
        f"{GLDV2}/{name}",
        name,
        "tar",
        GLDV2_TAR_BYTES,
        md5_url=f"{GLDV2}/md5sum/{split}/md5.images_{number:03d}.txt",
        unpack=split,
    )


def oxford5k() -> list[Part]:
    """Images and the classic ground truth, both flat as published."""
    base = f"{VGG}/oxbuildings"
    return [
        flat(f"{base}/gt_files_170407.tgz", "oxford5k_ground_truth", None),
        flat(f"{base}/oxbuild_images.tgz", "oxford5k_images", 1_840_000_000),
    ]


def paris6k() -> list[Part]:
    """Images in one folder, as the MindSpore DELF has them, and the ground truth."""
    base = f"{VGG}/parisbuildings"
    return [
        flat(f"{base}/paris_120310.tgz", "paris6k_ground_truth", None),
        flat(f"{base}/paris_1.tgz", "paris6k_images", None, PARIS6K_CORRUPT),
        flat(f"{base}/paris_2.tgz", "paris6k_images", None, PARIS6K_CORRUPT),
    ]


def flat(
    url: str, folder: str, size: int | None, leave_out: frozenset[str] = frozenset()
) -> Part:
    """Describe an archive that is unpacked into one folder without subfolders."""
    name = url.rpartition("/")[2]
    return Part(
        name,
        url,
        name,
        "tgz",
        size,
        unpack=folder,
        flatten=True,
        leave_out=leave_out,
    )


def revisited() -> list[Part]:
    """Ground truth only: the images are those of Oxford5k and Paris6k."""
    parts = []
    for dataset in REVISITED_SETS:
        pkl, mat = f"gnd_{dataset}.pkl", f"gnd_{dataset}.mat"
        parts.append(Part(pkl, f"{REVISITED}/{dataset}/{pkl}", pkl, "pickle"))
        parts.append(
            Part(mat, f"{REVISITED}/{dataset}/{mat}", mat, "mat", optional=True)
        )
    return parts


def pretrained() -> list[Part]:
    """Weights to start from, and the official packages."""
    keras = Part(KERAS_H5, f"{KERAS}/{KERAS_H5}", KERAS_H5, "h5", 94_700_000, KERAS_MD5)
    packages = [
        Part(
            f"{name}.tar.gz",
            f"{DELF}/{name}.tar.gz",
            f"{name}.tar.gz",
            "tgz",
            unpack=name,
            optional=name in DELF_OPTIONAL,
        )
        for name in DELF_PACKAGES + DELF_OPTIONAL
    ]
    pca = Part("delf_-pca.zip", PCA, "delf_-pca.zip", "zip", unpack="pca", strip=2)
    return [keras, *packages, pca]
