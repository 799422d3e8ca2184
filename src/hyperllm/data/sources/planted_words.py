"""Words of the invented shop: what it sells, to whom, and how it talks.

Knows names only: three levels of categories with the things sold in each, six purposes with the phrases that betray
them, and what titles and descriptions are put together from. Does not know who buys what (`planted` does).
"""

from __future__ import annotations

TREE: dict[str, dict[str, dict[str, str]]] = {
    "Kitchen": {
        "Baking": {
            "Bread": "proofing basket, dough scraper, bread lame, Dutch oven",
            "Cakes": "springform tin, cake turntable, layer slicer",
            "Biscuits": "cookie cutter set, biscuit press, speculaas board",
            "Chocolate": "praline mould, dipping fork, tempering slab",
        },
        "Coffee and Tea": {
            "Espresso": "portafilter, tamper, milk jug, knock box",
            "Filter Coffee": "pour-over dripper, gooseneck kettle, glass carafe",
            "Green Tea": "matcha whisk, side-handle teapot, tea caddy",
            "Black Tea": "enamel teapot, loose-leaf infuser, tea cosy",
        },
        "Knives": {
            "Chef Knives": "gyuto, santoku, chef knife",
            "Sharpening": "whetstone, honing rod, leather strop",
            "Cutting Boards": "end-grain board, bamboo board, butcher block",
            "Carving": "carving fork, ham knife, fillet knife",
        },
        "Preserving": {
            "Fermenting": "fermentation crock, airlock lid, glass weight",
            "Jam": "jam pan, canning funnel, jar lifter",
            "Drying": "dehydrator tray, herb rack, fruit slicer",
            "Smoking": "smoking gun, cedar plank, smoker box",
        },
    },
    "Garden": {
        "Vegetables": {
            "Tomatoes": "tomato cage, truss clip, beefsteak seed mix",
            "Salads": "lettuce seed tape, cloche, cut-and-come-again tray",
            "Root Crops": "carrot sieve, potato grow bag, beetroot seed mix",
            "Climbing Beans": "bean pole set, trellis net, runner bean seeds",
        },
        "Flowers": {
            "Roses": "rose pruner, climbing rose, rose feed",
            "Bulbs": "tulip bulb mix, bulb planter, allium bulbs",
            "Meadow": "wildflower mix, seed spreader, scythe blade",
            "Cut Flowers": "dahlia tuber, flower snips, sweet pea seeds",
        },
        "Wildlife": {
            "Birds": "nest box, suet feeder, bird bath",
            "Bees": "bee hotel, hive frame, bee smoker",
            "Hedgehogs": "hedgehog house, feeding dome, leaf rake",
            "Ponds": "pond liner, oxygenating plant, frog ramp",
        },
        "Soil and Water": {
            "Compost": "compost bin, worm tower, compost turner",
            "Watering": "drip line, brass rose can, soaker hose",
            "Raised Beds": "larch bed kit, corner bracket, bed liner",
            "Greenhouses": "cold frame, polytunnel hoop, shading net",
        },
    },
    "Music": {
        "Strings": {
            "Violin": "rosin, shoulder rest, violin string set, violin bow",
            "Classical Guitar": "nylon string set, footrest, cedar-top guitar",
            "Electric Guitar": "humbucker pickup, overdrive pedal, whammy bar",
            "Ukulele": "concert ukulele, ukulele strap, fluorocarbon strings",
        },
        "Wind": {
            "Recorder": "alto recorder, recorder stand, thumb rest",
            "Clarinet": "clarinet reed box, ligature, barrel joint",
            "Trumpet": "valve oil, practice mute, mouthpiece",
            "Harmonica": "blues harp, chromatic harmonica, neck holder",
        },
        "Percussion": {
            "Drum Kit": "snare drum, ride cymbal, drum throne",
            "Hand Drums": "djembe, bongo pair, cajon",
            "Mallets": "glockenspiel, marimba mallet, kalimba",
            "Orchestral Percussion": "triangle, temple block, timpani stick",
        },
        "Recording": {
            "Microphones": "ribbon microphone, condenser microphone, pop filter",
            "Synthesizers": "analogue synthesizer, step sequencer, patch cable",
            "Turntables": "moving-magnet cartridge, slipmat, record brush",
            "Sheet Music": "study score, music stand, manuscript book",
        },
    },
    "Outdoors": {
        "Hiking": {
            "Footwear": "leather boot, trail shoe, merino sock",
            "Packs": "day pack, hip belt pouch, rain cover",
            "Navigation": "baseplate compass, map case, altimeter",
            "Trekking Poles": "folding pole, cork grip, snow basket",
        },
        "Camping": {
            "Tents": "tunnel tent, groundsheet, peg set",
            "Sleeping Bags": "down sleeping bag, silk liner, foam mat",
            "Camp Cooking": "gas stove, titanium pot, spork",
            "Lanterns": "candle lantern, head torch, solar lamp",
        },
        "Water Sports": {
            "Kayaking": "spray deck, touring paddle, dry bag",
            "Fishing": "fly rod, tippet spool, landing net",
            "Swimming": "open-water buoy, swim goggles, neoprene cap",
            "Sailing": "snap shackle, sailing glove, marlinspike",
        },
        "Climbing": {
            "Bouldering": "chalk bag, crash pad, boulder brush",
            "Ropes": "dynamic rope, rope bag, prusik cord",
            "Protection": "cam, nut set, quickdraw",
            "Winter": "ice axe, crampon, ice screw",
        },
    },
    "Craft": {
        "Textiles": {
            "Knitting": "circular needle, sock yarn, stitch marker",
            "Sewing": "rotary cutter, seam ripper, tailor chalk",
            "Weaving": "rigid heddle loom, shuttle, warp thread",
            "Embroidery": "embroidery hoop, stranded cotton, crewel needle",
        },
        "Paper": {
            "Calligraphy": "oblique pen holder, copperplate nib, iron-gall ink",
            "Bookbinding": "bone folder, linen thread, awl",
            "Origami": "washi pack, folding guide, duo paper",
            "Printmaking": "lino cutter, brayer, relief ink",
        },
        "Wood": {
            "Carving Wood": "spoon knife, gouge, basswood blank",
            "Turning": "bowl gouge, sanding disc, friction polish",
            "Joinery": "dovetail saw, marking gauge, bench chisel",
            "Marquetry": "veneer pack, fret saw, veneer hammer",
        },
        "Painting": {
            "Watercolour": "watercolour pan set, cold-pressed pad, squirrel mop",
            "Oil": "linseed medium, hog brush, stretched linen",
            "Acrylic": "heavy-body acrylic, palette knife, gloss varnish",
            "Drawing": "graphite set, kneaded eraser, toned sketchbook",
        },
    },
    "Games": {
        "Board Games": {
            "Strategy": "railway strategy game, empire building game, auction game",
            "Cooperative": "rescue team game, lighthouse game, shared deduction game",
            "Family Games": "tile laying game, animal race game, memory game",
            "Two Players": "abstract duel game, folding chess set, backgammon board",
        },
        "Cards": {
            "Trick Taking": "trick-taking deck, tarock deck, skat deck",
            "Deck Building": "deck building box, card sleeve pack, expansion deck",
            "Magic Tricks": "marked deck, sponge ball set, close-up mat",
            "Card Collecting": "binder page, graded card case, booster box",
        },
        "Puzzles": {
            "Jigsaws": "thousand-piece jigsaw, jigsaw mat, sorting tray",
            "Mechanical": "burr puzzle, puzzle box, trick lock",
            "Logic": "sudoku book, nonogram book, grid puzzle book",
            "Cubes": "speed cube, cube lubricant, cube timer",
        },
        "Role Playing": {
            "Rule Books": "fantasy rule book, starter adventure, bestiary",
            "Dice": "resin dice set, dice tower, metal dice set",
            "Miniatures": "dungeon miniature, wet palette, flocking tuft",
            "Maps": "battle map, hex pad, terrain tile",
        },
    },
}
"""Department -> category -> kind -> the things sold there."""

PURPOSES: dict[str, tuple[str, ...]] = {
    "beginners": (
        "Forgiving enough for a first attempt",
        "Comes with a step-by-step leaflet for newcomers",
        "A gentle start for anyone who has never tried this before",
        "Made for learners",
    ),
    "professionals": (
        "Built for daily use in a workshop or on stage",
        "Meets the standards of people who do this for a living",
        "Chosen by masters of the trade",
        "Fine tolerances for demanding work",
    ),
    "children": (
        "Sized for small hands",
        "Rounded edges, safe from the age of six",
        "Bright colours that kids love",
        "A present for girls and boys who like to join in",
    ),
    "travel": (
        "Packs down to the size of a fist",
        "Light enough to forget in a rucksack",
        "Comes in a padded pouch for the journey",
        "Folds flat for trains and planes",
    ),
    "tradition": (
        "Made by hand after a pattern two hundred years old",
        "Finished the way grandparents did it",
        "A family workshop has made it the same way for generations",
        "Solid, old-fashioned and repairable",
    ),
    "sustainable": (
        "Made from recycled material and shipped without plastic",
        "Certified timber and plant-based finishes",
        "Can be composted at the end of a long life",
        "Made with solar power from local raw material",
    ),
}
"""A purpose cuts across the tree: no category names it, only two of these phrases in a description do."""

QUALITIES = ("compact", "classic", "large", "small", "sturdy", "plain", "fine", "everyday")

ABOUT = (
    "From the {kind} range: one {noun}.",
    "Our {quality} {noun} belongs to the {kind} range.",
    "Anyone who lingers at our {kind} shelf will find a use for this {noun}.",
    "This {noun} stands on the {category} shelf.",
    "{brand} makes this {quality} {noun}.",
)

SMALL_TALK = (
    "Ships within two days.",
    "Wipe clean with a damp cloth.",
    "Two-year warranty.",
    "Colours may differ slightly from the picture.",
    "Designed in a small studio by the sea.",
    "Spare parts are available.",
    "Keep dry when not in use.",
    "Sold singly.",
    "Rated highly by our own staff.",
    "New in this season.",
)

BRAND_HEADS = ("Alder", "Brem", "Corvo", "Dunmar", "Elm", "Fen", "Gral", "Hollin", "Isk", "Juno", "Kest", "Lark")
BRAND_TAILS = ("moor", "wick", "field", "stad", "holm", "ley", "ton", "by", "bridge", "gate")
