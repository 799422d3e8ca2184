"""The register of public data sets: names, publishers' addresses, terms.

Knows where the files are and under which terms. Does not know how to fetch or read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """One file of a publisher. ``md5`` is the publisher's checksum where it is known, else ``md5_url`` says it."""

    name: str
    url: str
    md5: str | None = None
    md5_url: str | None = None


@dataclass(frozen=True)
class PublicSet:
    """One public data set. ``use`` are the files that `prepare` reads, each after the option in ``options``."""

    name: str
    title: str
    homepage: str
    licence: str
    files: tuple[RemoteFile, ...]
    use: tuple[str, ...]
    options: tuple[str, ...]


SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
UCSD = "https://mcauleylab.ucsd.edu/public_datasets/data"
GROUPLENS = "https://files.grouplens.org/datasets/movielens"

AMAZON_TERMS = (
    "The publisher states no licence. The data are offered for research; cite the paper named on the homepage, and "
    "do not redistribute them."
)
MOVIELENS_TERMS = (
    "Research use. No commercial use without the permission of GroupLens (University of Minnesota), no suggestion of "
    "their endorsement; cite Harper and Konstan (2015), doi 10.1145/2827872. Redistribution only under the conditions "
    "of the README in the archive."
)

AMAZON_2014 = (
    *("Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl"),
    *("Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics"),
    *("Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen", "Kindle_Store", "Movies_and_TV"),
    *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors"),
    *("Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games"),
)
AMAZON_2018 = (
    *("AMAZON_FASHION", "All_Beauty", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Books", "CDs_and_Vinyl"),
    *("Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards"),
    *("Grocery_and_Gourmet_Food", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store", "Luxury_Beauty"),
    *("Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden"),
    *("Pet_Supplies", "Prime_Pantry", "Software", "Sports_and_Outdoors", "Tools_and_Home_Improvement"),
    *("Toys_and_Games", "Video_Games"),
)
AMAZON_2023 = (
    *("All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products"),
    *("Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food"),
    *("Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments"),
    *("Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors"),
    *("Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games"),
)
MOVIELENS_MD5 = {
    "ml-100k": "0e33842e24a9c977be4e0107933c0723",
    "ml-1m": "c4d9eecfca2ab87c1945afe126590906",
    "ml-10m": None,
    "ml-20m": None,
    "ml-25m": "6b51fb2759a8657d3bfcbfc42b592ada",
    "ml-32m": "d472be332d4daa821edc399621853b57",
    "ml-latest-small": None,
}
"""Checksums GroupLens publishes for its frozen sets; the others are read beside the archive when it is fetched."""


def _amazon(year: int, category: str, homepage: str, reviews: str, meta: str) -> PublicSet:
    files = tuple(RemoteFile(url.rpartition("/")[2], url) for url in (reviews, meta))
    return PublicSet(
        name=f"amazon-{year}-{category.lower().replace('_', '-')}",
        title=f"Amazon {category.replace('_', ' ')}, {year}: 5-core reviews and metadata",
        homepage=homepage,
        licence=AMAZON_TERMS,
        files=files,
        use=tuple(file.name for file in files),
        options=("--amazon", ""),
    )


def _movielens(name: str, md5: str | None) -> PublicSet:
    url = f"{GROUPLENS}/{name}.zip"
    return PublicSet(
        name=name,
        title=f"MovieLens {name.removeprefix('ml-')}",
        homepage="https://grouplens.org/datasets/movielens/",
        licence=MOVIELENS_TERMS,
        files=(RemoteFile(f"{name}.zip", url, md5, None if md5 else f"{url}.md5"),),
        use=("ratings.csv", "movies.csv"),
        options=("--interactions", "--items"),
    )


def _all() -> Iterator[PublicSet]:
    for category in AMAZON_2014:
        home = "https://jmcauley.ucsd.edu/data/amazon/index_2014.html"
        yield _amazon(2014, category, home, f"{SNAP}/reviews_{category}_5.json.gz", f"{SNAP}/meta_{category}.json.gz")
    for category in AMAZON_2018:
        at = f"{UCSD}/amazon_v2"
        reviews, meta = f"{at}/categoryFilesSmall/{category}_5.json.gz", f"{at}/metaFiles2/meta_{category}.json.gz"
        yield _amazon(2018, category, "https://nijianmo.github.io/amazon/", reviews, meta)
    for category in AMAZON_2023:
        at = f"{UCSD}/amazon_2023"
        reviews = f"{at}/benchmark/5core/rating_only/{category}.csv.gz"
        meta = f"{at}/raw/meta_categories/meta_{category}.jsonl.gz"
        yield _amazon(2023, category, "https://amazon-reviews-2023.github.io/", reviews, meta)
    for name, md5 in MOVIELENS_MD5.items():
        yield _movielens(name, md5)


PUBLIC: dict[str, PublicSet] = {known.name: known for known in _all()}
"""Name -> public data set."""
