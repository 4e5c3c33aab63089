"""What people call the states of a sky: phrases, each with what it says, gathered by role.

A heading `[time=dusk at]` gives what the phrases under it say, and their role in a sentence. `a/b` means
either class. `cover~overcast` is a weak reading: it holds unless something else in the text says otherwise.
A phrase may add readings of its own after a bar: `moonlit | time=night`.

Roles by attribute: time: at (noun after "at"), when (adverbial), adj, np, sun (clause); land: place (bare
noun; a leading * means it takes no article), name, where (adverbial), adj, fore (clause); cover: sky (noun
phrase), quant (before "clouds"), skyadj, skysays (clause); kind: kadj, knoun; wind: dir (after a verb of
motion), windnp, key; speed: sadv, sverb, windnp, says (clause); weather: wnp, wadj, says (clause).
"""

from __future__ import annotations

TIME = """
[time=dawn at]
dawn; sunrise; daybreak; first light; sunup; sun-up; the crack of dawn; break of day; cockcrow
the first light of day; daylight's first glimmer; the break of dawn; early dawn
the very start of the day; civil dawn; the rising of the sun; the birth of the day
the first blush of dawn; morning twilight; the earliest light; dawn's early light
the day's beginning
[time=dawn when]
at dawn; just before sunrise; as the sun comes up; as day breaks; as the sun rises
while the sun is rising; at the crack of dawn; when the sun is just coming up; as dawn breaks
in the first light of day; as the night ends and the light returns; before breakfast at sunrise
as the sun peeks over the horizon; as the first rays appear; as the darkness lifts
at the very beginning of the day; as a new day begins; when the birds start singing at dawn
just after sunrise; right at sunrise; around sunrise; as the day is dawning; with the sun coming up
as the world wakes up; as the sun climbs over the horizon; when the roosters crow; in the dawn light
minutes after daybreak; before the world is up; at the start of the day; in the pink light of dawn
as light creeps back; as the sky begins to lighten; while night is fading into morning light
[time=dawn adj]
dawn; sunrise; dawning; rising-sun; dawn-lit; early-dawn; just-waking
[time=dawn np]
a pink dawn; a rosy sunrise; a golden sunrise; a pale dawn; a cold dawn; the dawn of a new day
a misty sunrise | weather=haze; a peach-coloured dawn; a breaking dawn; a sleepy sunrise
a glorious sunrise; a slow sunrise; a spring dawn; a winter dawn; the rising sun; a fresh dawn
an apricot sunrise; the new day; a newborn day; a quiet daybreak; an early sunrise; a summer sunrise
an orange sunrise; a crimson dawn; dawn chorus
[time=dawn sun]
the sun is rising; the sun comes up; the sun is coming up; dawn breaks; day is breaking
the sun has just risen; a new day begins; the day begins; the sun peeks above the horizon
the first rays touch the land; the sky turns pink as the sun appears; the sun lifts off the horizon
the night is over and the sun appears; the sun gets up; first light spills over the horizon
the darkness is lifting; the sun climbs out of the horizon; it's sunrise; it is dawn; it is daybreak
the east glows with the coming sun; the eastern sky brightens
the eastern horizon reddens before sunrise; the dawn chorus starts; the sun emerges
the day wakes up; the day is waking; daylight returns; the sun pokes its head up; morning breaks
the sun will be up any minute; the stars fade and it gets light; dawn creeps in
light returns to the world; the sun is about to rise; the east is turning gold
the sky in the east grows lighter; the sun is being born; sunrise colours spread
the sun crests the horizon; the sun rises
[time=dawn/morning at]
early morning; the early hours of daylight
[time=dawn/morning when]
early in the morning; in the early morning; early in the day; very early in the morning
at the start of the morning
[time=morning at]
morning; mid-morning; midmorning; breakfast time; late morning; breakfast; ten in the morning
nine in the morning; eight in the morning; half past nine in the morning; coffee time in the morning
[time=morning when]
in the morning; this morning; during the morning; in mid-morning; on a fresh morning
later in the morning; one morning; after breakfast; on a weekday morning; in the forenoon
before lunch; on a bright morning; in the morning sun; in the morning light; in morning light
on a Sunday morning; all morning; by morning; when the sun has been up a while
a couple of hours after sunrise; some hours before noon; on a crisp winter morning
on a spring morning; a little before eleven; when the shops open in the morning
on the morning commute; towards the middle of the morning
[time=morning adj]
morning; mid-morning; forenoon; morning-lit; fresh morning
[time=morning np]
a crisp morning; a fresh spring morning; a quiet morning; a bright morning
a sunny morning | cover~clear; a cool morning; a summer morning; an autumn morning; a winter morning
a lovely morning; a cold morning; the morning sun; soft morning light; a peaceful morning
the morning hours; an ordinary morning; a grey morning | cover~overcast
a foggy morning | weather=haze; a misty morning | weather=haze
a rainy morning | weather=rain cover~overcast; a lazy morning; a beautiful morning; the forenoon
a weekday morning; a slow Sunday morning; a monday morning; morning sunlight; a golden morning
[time=morning sun]
it is morning; it's mid-morning; the morning is well under way; the morning sun shines
the sun is up and climbing; morning light falls across the land; the sun has been up for a few hours
people are having breakfast; the morning wears on; the sun is halfway up the sky
it is still morning; the morning is young; the dew is drying in the morning sun
it's about nine in the morning
[time=noon at]
noon; midday; high noon; mid-day; noontime; noonday; lunchtime; lunch time; twelve noon
twelve o'clock; the middle of the day; solar noon; lunch; the height of the day; the stroke of noon
noontide; the lunch hour
[time=noon when]
around noon; at midday; in the middle of the day; around lunchtime; with the sun at its highest
in the noonday sun; at the hottest hour; over lunch; when the sun is at its zenith
at twelve o'clock sharp; during lunch break; under the midday sun; in the midday heat
while the sun is directly overhead; when shadows are shortest; in the glare of noon
with the sun at its peak; just after noon; shortly before noon; as the clock strikes noon
about midday; smack in the middle of the day
[time=noon adj]
noon; midday; noonday; noontime; lunchtime; high-noon
[time=noon np]
a hot noon; the midday sun; a blazing noon; harsh midday light; overhead sun; the noon hour
a bright noon; a dazzling midday; the glare of midday; the noon sun; a scorching midday
the zenith sun; hard overhead light; a white noon
[time=noon sun]
the sun is straight up; the sun is right on top of us; the sun casts no shadow
no shade anywhere, the sun is at the top; vertical sunlight falls; the sun stands vertical
the sun is high up at the top of the sky; it is noon; it's midday; the sun is at its highest
the sun is directly overhead; the sun is straight overhead; it is high noon
the sun is at its zenith; noon bells ring; shadows are at their shortest
the sun beats down from straight above; the sun stands at its peak; it's the middle of the day
it is twelve o'clock; it's lunchtime; the sun hangs right above us; the noon sun blazes
the sun reaches its highest point; the sun is as high as it gets; the midday sun hammers down
there are no shadows because the sun is overhead; the sun is high overhead
[time=afternoon at]
afternoon; mid-afternoon; late afternoon; tea time; teatime; early afternoon; siesta time
three in the afternoon; four in the afternoon; three o'clock in the afternoon; two in the afternoon
half past three in the afternoon
[time=afternoon when]
in the afternoon; this afternoon; during the afternoon; after lunch; on a lazy afternoon
all afternoon; one afternoon; on a sunny afternoon | cover~clear; in mid-afternoon
in the late afternoon; in the afternoon sun; on a Sunday afternoon; some time after lunch
when school is out in the afternoon; a few hours past noon; during the siesta
a couple of hours before evening; in the early afternoon; on a warm summer afternoon
in warm afternoon light; by afternoon; well past midday; as the afternoon wears on
while people take their afternoon tea
[time=afternoon adj]
afternoon; mid-afternoon; late-afternoon; after-lunch
[time=afternoon np]
a lazy afternoon; a warm afternoon; a drowsy afternoon; a summer afternoon; an autumn afternoon
a long afternoon; a sunny afternoon | cover~clear; the afternoon sun; warm afternoon light
a quiet afternoon; a sleepy afternoon; a hot afternoon; a spring afternoon; a winter afternoon
the long afternoon; afternoon sunlight; an idle afternoon; the afternoon hours
a rainy afternoon | weather=rain cover~overcast; a grey afternoon | cover~overcast; a mild afternoon
a peaceful afternoon; a windy afternoon | speed=fast
[time=afternoon sun]
it is afternoon; it's mid-afternoon; the afternoon drags on
the afternoon sun slants across the land; it's three in the afternoon
the sun has begun to sink from its height; it is past lunchtime; the afternoon is half gone
afternoon light warms everything; the shadows grow longer this afternoon; it's the afternoon
[time=dusk at]
dusk; sunset; sundown; nightfall; twilight; evening; last light; the end of the day
the close of day; day's end; eventide; gloaming; the blue hour; the setting of the sun
evening twilight; the day's end; the last light of day; early evening; early dusk; sun-down
the fall of evening; the onset of night; supper time; the evening hour; the fading of the light
civil dusk
[time=dusk/dawn at]
golden hour; the golden hour; magic hour; the magic hour
[time=dusk when]
in the evening; at dusk; as the sun sets; as the sun goes down; while the sun is setting
as evening falls; as night falls; as night approaches; as darkness falls; just before dark
as the light fades; just before sunset; just after sunset; this evening; towards evening
right after sundown; right before nightfall; when the sun is going down; as the day ends
as daylight fades; as the sun dips below the horizon; as the sun sinks; as the day draws to a close
in the last light; in the evening light; with the sun setting; with the sun going down
as twilight deepens; in the twilight; at the end of the day; when the lights come on in the evening
on a summer evening; on a quiet evening; one evening; in the afterglow; as it gets dark
as it is getting dark; while the daylight dies; when the day is done; as the sun slips away
as the sun drops; in the glow of sunset; before night comes; as the evening comes on
late in the evening light; shortly before dark; against the setting sun; as it starts to get dark
before it is fully dark; as the sky turns orange and the sun disappears
when work is over and the sun is low in the evening; in the fading light; in the dying light
[time=dusk adj]
sunset; dusky; twilight; evening; dusk; twilit; sunset-lit; dusk-lit; crepuscular; setting-sun
sundown; darkening; post-sunset
[time=dusk np]
a blazing sunset; a golden sunset; an orange sunset; a red sunset; a purple twilight; a fiery sunset
a quiet evening; a calm evening | speed=slow; a summer evening; a dying day; the fading light
the last rays of the sun; a crimson sunset; a violet dusk; a lilac dusk; a pink sunset
evening light; the setting sun; a warm evening; an autumn evening; the afterglow; an evening glow
a mellow evening; the last glow of the day; a spectacular sunset; a peaceful sunset
a romantic sunset; a long blue twilight; a deep dusk; the sinking sun; the last of the light
a spring evening; a winter evening; a smouldering sunset; the red ball of the setting sun
a dim dusk; alpenglow | land=mountains; a rainy evening | weather=rain cover~overcast
[time=dusk sun]
the sun has gone down; the sun has left; the light is going; the light is leaving
the last daylight goes; the day fades; the sun is swallowed by the horizon
the horizon swallows the sun; the sky darkens after sunset; the sun gives its last light
the sun is setting; the sun goes down; the sun is going down; the sun sets; dusk falls
evening falls; night is falling; night falls; the light fades; the light is fading
the sun sinks below the horizon; the sun dips under the horizon; the day is ending; the day ends
the day is done; the sun has just set; evening comes; twilight settles; dusk settles in
it is getting dark; it's getting dark; it is almost dark; the sun disappears
the sun slips below the horizon; the sky glows orange as the sun leaves; the sun bows out
the day dies; darkness gathers; daylight is dying; the shadows lengthen into evening; it is dusk
it's evening; it is sunset; the sun melts into the horizon
the sun is low and red before it vanishes; the evening draws in; the western sky burns red
the sun drops out of sight; the day draws to its end; the street lamps come on at dusk | land=city
the sun hides; the sun goes to sleep; the sun goes to bed; the last light drains away
the sun slides away; the sun is about to set; the sun is nearly gone; the sun is vanishing
the sun sinks; the day is over; it will be dark soon; night is coming
the first star appears in the evening sky; the sun retires; last sunbeams fade; the west is aflame
the sun touches the horizon; the sun kisses the horizon; the sun is leaving; the sun falls
the sunset burns; the day burns out; dusk gathers; dusk comes down
[time=night at]
night; midnight; nighttime; night-time; the dead of night; the witching hour; late night
the middle of the night; the small hours; three in the morning; two in the morning
one in the morning; full dark; half past midnight; the depths of night; moonrise; night time
eleven at night; ten at night
[time=night when]
at night; by night; late at night; in the middle of the night; during the night; after dark
after midnight; in the dark; in the dead of night; under the stars; beneath the stars; by moonlight
in the moonlight; under a full moon; by starlight; long after sunset; well after dark
under the moon; tonight; past midnight; around midnight; in the small hours; while everyone sleeps
under a starry sky; under a sky full of stars; beneath a crescent moon; below the milky way
under the constellations; in the darkness; in deep darkness; in the starlight; long after dark
when the moon is up; once the stars are out; when everyone is asleep; through the night; all night
deep in the night; in the black of night; hours before dawn; long before sunrise; in the pitch dark
when it is dark; one night; on a dark night; on a moonless night; on a winter night
on a summer night; after nightfall when the stars shine; with the moon high; with stars overhead
with a full moon; with the stars out; with the moon shining; with stars twinkling
[time=night adj]
moonlit; starlit; night; nocturnal; nighttime; midnight; star-filled; starry; moon-washed
night-time; dark nighttime; pitch-dark; moon-bathed; night-black; moonlit night; star-studded
[time=night np]
the southern cross; cassiopeia; the evening stars; a comet; jupiter and saturn; star clusters
moonbeams; a blood moon; a new moon; the constellations; pinpricks of starlight; lunar light
a lunar glow; an eclipse of the moon; a starry night; a dark night; a moonlit night; a summer night
a winter night; the night sky; a full moon; a quiet night; the stars; the milky way; a crescent moon
a sky full of stars; a moonless night; stars; the moon; moonlight; starlight; twinkling stars
the moon and stars; a black night; a deep night; a silent night; a still night | speed=slow
a thousand stars; a canopy of stars; constellations; shooting stars; the northern lights; an aurora
a velvet night; inky darkness; a silver moon; a night scene; a pale moon; the dark of night
a starry sky; a starry sky; glittering stars; a bright moon; a star-strewn sky; a meteor shower
pole star; star trails; orion and the big dipper; a clear night | cover=clear
a cloudless night | cover=clear; a cloudy night | cover=overcast; an overcast night | cover=overcast
a stormy night | weather=storm cover~overcast kind~stormy
a rainy night | weather=rain cover~overcast; a foggy night | weather=haze
[time=night sun]
it is night; it's night; stars come out; stars shine; the stars are out; the moon is up
the moon shines; the moon hangs high; stars twinkle; the stars glitter above; it is dark
it's dark out; the moon has risen; the moon rises; it is the middle of the night; it is midnight
the night is dark; the night is long; night reigns; night covers everything
the stars wheel overhead; the moon glows; everybody is asleep; everyone is sleeping
the milky way arches overhead; the world sleeps under the stars; it's past midnight
the sun set hours ago; the sun is long gone; there is no light but the moon; the moon sails high
the moon lights the way; constellations turn overhead; the night is black; darkness covers the land
darkness reigns; night holds the land; moonlight silvers everything; the moon peers down
it's pitch dark; it is completely dark; a comet crosses the dark sky; fireflies glow in the dark
an owl hoots in the dark; stars fill the sky
[time=morning/noon/afternoon at]
daytime; broad daylight; day time; full daylight; daylight; mid-day hours of daylight
[time=morning/noon/afternoon when]
by day; during the day; in the daytime; in broad daylight; in daylight; in the bright light of day
on a summer day; in full sun; in the sunshine; on a warm day; in bright sunlight; on a fine day
in sunlight; while the sun shines; under the sun; on a bright day; in the daylight hours
on an ordinary day; one day in summer; on a winter's day; on a hot day; on a windy day | speed=fast
on a sunny day | cover~clear; on a grey day | cover~overcast; on a dull day | cover~overcast
on a cloudless day | cover=clear; on a rainy day | weather=rain cover~overcast
on a foggy day | weather=haze; on an overcast day | cover=overcast
on a cloudy day | cover=overcast/partly; on a clear day | cover=clear; on a calm day | speed=slow
[time=morning/noon/afternoon adj]
daytime; daylight; sunlit; sun-drenched | cover~clear; sunny | cover~clear; sun-bathed; sunlit
brightly sunlit; sunny daytime | cover~clear
[time=morning/noon/afternoon np]
bright daylight; broad daylight; a summer day; a summer's day; a fine day; a warm day; a hot day
a winter day; a beautiful day; a bright day; bright sunshine | cover~clear
a sunny day | cover~clear; sunshine | cover~clear; brilliant sunshine | cover~clear
a cloudless day | cover=clear; a blue-sky day | cover=clear; a bluebird day | cover=clear
a clear day | cover=clear; a gray day | cover~overcast; a grey day | cover~overcast
a dull day | cover~overcast; a gloomy day | cover~overcast
a rainy day | weather=rain cover~overcast; an overcast day | cover=overcast; a lovely day
a spring day; an autumn day; a perfect day; a gorgeous day; a glorious day; natural daylight
sunlight; a crisp day; a windy day | speed=fast; a calm day | speed=slow
[time=morning/noon/afternoon sun]
the sun is shining; the sun shines brightly; it is daytime; the sun is high; it's broad daylight
it is day; the day is bright; sunlight floods the land; the sun is out; the sun beams down
it's a beautiful day; it is a warm bright day; the sun is high in the sky; sunlight pours down
it's day; it is a lovely summer day; the daylight is strong; sun beats down
it is sunny | cover~clear; it's a sunny day | cover~clear
"""

LAND = """
[land=sea place]
sea; ocean; *open water; *the open sea; bay; beach; coast; coastline; shore; shoreline; seashore
*the waves; *waves; harbour; harbor; lagoon; gulf; cove; seaside; *the surf; seascape; *ocean waves
*sandy beaches; sandy beach; *coastal cliffs; *the high seas; *the water's edge; *the tide; inlet
port; *sea cliffs; pier; jetty; *the breakers; *salt water; *deep water; *the deep; *the swell
*rolling waves; *the blue water; *the deep blue sea; *the water; strait; channel; archipelago
island; tropical island; *islands; atoll; coral reef; reef; *the ocean's surface; marina; lighthouse
fishing harbour; *sea and sand; headland; cape; estuary; *the beachfront; *the waterfront
*sea water; *the foam; promontory; fjord; beach with palm trees; pebble beach; *the ocean horizon
*a sea horizon; *the mudflats at low tide; rocky shore; *choppy water; *whitecaps; *foaming breakers
seafront; *shallows; *the briny; oceanfront; *tidal pools; boardwalk by the sea; sandbar
spit of sand; surf beach; anchorage; quay; wharf; dock; offshore rig; sea bay; sound; *crashing surf
*rollers; *the main; *turquoise water; *the sand and the surf; *maritime waters; sheltered cove
[land=sea name]
the Atlantic; the Pacific; the Mediterranean; the North Sea; the Baltic; the Indian Ocean
the Caribbean; the Adriatic; the Aegean; the Arctic Ocean; Malibu; Copacabana beach; Bondi Beach
the Channel; the English Channel; the Irish Sea; the Gulf of Mexico; the Black Sea; the Riviera
the Côte d'Azur; the Amalfi coast; Big Sur; the Bay of Biscay; Waikiki; the Maldives; Hawaii
Brighton beach; the Pacific coast; the Cornish coast; the Norwegian coast; the Jersey shore
the Gold Coast; the Algarve; Land's End; the Bering Sea; the Baltic coast; the Skagerrak
the Bosphorus; Santorini; Bali; Tahiti; the Seychelles; the Greek islands; the Cape of Good Hope
Cape Cod; the South China Sea; the Red Sea; the Tyrrhenian; the Hebrides; the Solent; Ipanema
the Great Barrier Reef
[land=sea where]
at sea; out at sea; by the sea; by the ocean; on the beach; at the beach; at the seaside
along the coast; along the shore; by the shore; on the coast; down by the water; on the water
at the ocean; in the harbour; in the bay; on the open ocean; far out on the ocean; near the beach
on the seafront; from the deck of a ship; from a boat; aboard a ship; where the land meets the sea
offshore; on the high seas; in the tropics by the sea; facing the sea; from the cliffs above the sea
on the shingle; on the sand by the waves; at the water's edge; from the lighthouse; down at the quay
[land=sea adj]
coastal; seaside; maritime; oceanic; beachside; marine; shoreline; nautical; littoral; seafaring
[land=sea fore]
waves roll in; waves crash on the rocks; waves lap at the shore; the tide goes out
the tide comes in; surf pounds the sand; boats rock in the harbour; a sailboat crosses the bay
gulls cry over the water; ships pass on the horizon; the sea is calm; the sea is rough
the ocean stretches away to the horizon; whales surface offshore; the waves glitter
a ferry leaves the port; the swell rises and falls; seagulls wheel over the surf; the water sparkles
fishing boats return; surfers wait for a wave; yachts lie at anchor; the ocean breathes
foam laps the sand; dolphins leap; a tanker crawls along the horizon; the ocean gleams
the sea shimmers; breakers thunder on the beach; the sea heaves; waves break
[land=hills place]
*hills; *rolling hills; *green hills; hillside; valley; *the valleys; countryside; *the countryside
*downs; *the downs; *moors; *the moors; moorland; *gentle hills; *low hills; *wooded hills
*grassy hills; *undulating country; dale; *dales; *hilly country; *hillocks; *the vale; glen
*rolling countryside; *rolling pastures; *rolling farmland; *vineyards on the slopes
*sloping meadows; *terraced hills; hill country; *knolls; *the wolds; *grassy slopes
*heathery hills; upland; *uplands; *the backcountry hills; hilltop; *fells; hollow
*soft round hills; *hills and dales; *hedgerows and lanes; *winding country lanes
*sheep pastures on the slopes; *drumlins; *emerald hills; *foothill meadows; *hilly farmland
rural valley; river valley; green valley; dell; *coombes; *heathland; *heather; *bracken slopes
*slopes; *olive groves on the hillside; *hummocks; *hilly landscape; *hills rolling away
*rolling terrain; *undulating hills; hill; small hill; grassy hill; tea-covered hillside
*a patchwork of hills; brae; *a gentle rise; *rural hills; hilly village; *hillside vineyards
[land=hills name]
Tuscany; the Cotswolds; the Yorkshire Dales; the Chilterns; the South Downs; the Shire; the Borders
the Lake District; Exmoor; Dartmoor; the Black Forest; the Ardennes; the Palouse; the Welsh valleys
the Mendips; the Cheviots; the Peak District; Napa Valley; the Loire valley; the Malvern Hills
the Blue Ridge foothills; Vermont; the Eifel; Umbria; the Ozarks; Chianti; the Sussex Weald
Shropshire; the Quantocks; Ireland's green hills; Devon; Bodmin Moor; the Lammermuirs
[land=hills where]
in the hills; in the valley; in the countryside; out in the country; across the hills; on a hillside
on a hilltop; among the hills; over hill and dale; down in the vale; up on the moor; on the moors
on the downs; in hill country; on the slopes of a hill; in a green valley; in the shire; in a glen
[land=hills adj]
hilly; rolling; undulating; bucolic hill; upland; rural hilly
[land=hills fore]
sheep graze on the slopes; sheep dot the hillsides; the hills roll away
green hills fold into one another; the valley lies quiet; a lane winds through the hills
the hillsides glow; hills stretch into the distance; the valley sleeps; a shepherd crosses the moor
stone walls climb the hills; heather covers the slopes; the hills undulate; the valley wakes
the hills are green
[land=mountains place]
*mountains; *the mountains; mountain range; *peaks; *snowy peaks; *the peaks; summit; *summits
*alpine peaks; *alps; *the alps; *snow-capped mountains; *jagged peaks; ridge; mountain ridge
massif; *mountain tops; *rugged mountains; *crags; glacier; *high peaks; mountain pass; *sierras
sierra; cordillera; *ridgelines; mountain; lone mountain; *cliffs and summits; *rocky summits
*snow-covered mountains; *icy summits; *granite spires; *the high country; *highlands
*the highlands; *steep rock faces; *towering cliffs of rock; *pinnacles; *mountain slopes
mountainscape; *mountain scenery; mountain lake; volcano; *the roof of the world; *the eternal snows
*precipices; *a jagged skyline of rock; rock wall; mountain hut; base camp; alpine lake
alpine meadow; *mountain peaks; *sharp ridges; escarpment; ridge line; mountain valley; canyon rim
*craggy heights; *needles of rock; *snowfields; *scree; *arêtes; *stony giants; mountain crest
*towering mountains; pinnacle; chain of mountains; ski resort; *ski slopes; *distant mountains
*the tops
[land=mountains name]
the Alps; the Himalayas; the Rockies; the Andes; Mount Everest; the Pyrenees; Mont Blanc
the Matterhorn; Kilimanjaro; the Dolomites; the Sierra Nevada; the Caucasus; Patagonia's peaks; K2
Mount Rainier; Denali; the Tetons; the Karakoram; Yosemite; the Carpathians; the Tatras; Aconcagua
the Cascades; Nepal; Tibet; Zermatt; the Eiger; the Scottish Highlands; Ben Nevis; Snowdonia
Mount Fuji; the Hindu Kush; the Appalachians; Glencoe; Aspen; Chamonix; the Altai; Annapurna
Machu Picchu; the Atlas mountains; Olympus; Etna; the Swiss Alps; the Bernese Oberland; Pikes Peak
[land=mountains where]
in the mountains; high in the mountains; up in the mountains; on the summit; at the summit
in the alps; on a mountain; among the peaks; above the tree line; at altitude in the mountains
on the pass; on the glacier; from a mountain top; on a ridge; up on the ridge
high up on the rock face; from base camp; on the flank of a mountain; on top of the mountain
[land=mountains adj]
alpine; mountainous; mountain; himalayan; craggy; andean; snow-capped; glacial; montane
rocky mountain
[land=mountains fore]
mountains loom; peaks rise in the distance; snow lies on the summits
mountains tower over everything; a climber nears the summit; mountains stand in the distance
the summits catch the light; an eagle circles the crags; the range stretches across the frame
peaks pierce the sky; snow glows on the ridges; the mountains stand dark; glaciers gleam
the mountains watch; the ridges turn blue
[land=plain place]
plain; *plains; *the plains; *flat plains; *fields; *the fields; field; *wheat fields; wheat field
prairie; *the prairies; *farmland; *farm fields; desert; *the desert; *grasslands; grassland; steppe
*the steppe; savanna; savannah; *meadows; meadow; *flat land; *flatlands; *flat country; *sand dunes
*dunes; *corn fields; cornfield; *barley; *the wheat; *crops; *sand; tundra; pampas; *salt flats
*the outback; *lowlands; *paddies; *rice paddies; *golden wheat; *pasture; *pastures; *open country
*wide open country; *cropland; *ploughed fields; *endless fields; *lavender fields
*sunflower fields; *the bush; *ranchland; *arable land; *the flats; farm; ranch
*a straight road through flat country; *an empty highway across the plains; *dry grass; *tall grass
*level ground; *bare flat earth; *the wide plain; heath flats; *stubble fields; *tulip fields
*polder; *fens; marsh; *marshland; wetland; *cotton fields; *soybean fields; *hayfields
*dusty flats; *wasteland; *badlands; plateau; mesa; *dry lakebed; *cracked earth; *canola fields
*potato fields; *an expanse of grass; *the veld; *sagebrush; *cactus desert; *sandy wastes
*great open spaces; *a flat horizon; *flat farmland; *grass; lawn; *a grassy expanse; delta farmland
floodplain; airfield; *wide fields; *an endless plain; barren plain
[land=plain name]
Kansas; the Serengeti; Nebraska; the Sahara; the Great Plains; the Gobi; Mongolia; the Dakotas
the Mojave; the Pampas; Iowa; the Kalahari; the Puszta; the Camargue; Oklahoma; Saskatchewan
the Fens; East Anglia; the Netherlands; Flanders; Death Valley; the Namib; the Atacama
the Nullarbor; Kazakhstan; the Ukrainian steppe; the Masai Mara; the Llano; the Texas panhandle
Saharan dunes; Siberia; the Australian outback; the Arizona desert; the Hungarian plain
the North German plain; the Bonneville salt flats; the Canadian prairies; La Mancha; the Po plain
the Veldt; the Arabian desert; Wadi Rum
[land=plain where]
on the plain; in the desert; in the fields; on the prairie; out on the plains; in a field
in a meadow; in the savannah; on the steppe; across the flats; among the dunes; in wheat country
on the farm; in farm country; in the outback; on flat land; out in the flat country; in a cornfield
across the grassland; in the corn belt; in the middle of nowhere in the desert
out west on the prairie; in the grass
[land=plain adj]
flat; desert; agricultural; pastoral flat; prairie; arid desert; savannah; steppe; farm; low-lying
[land=plain fore]
wheat sways; grass ripples to the horizon; the plain stretches to the horizon
a tractor works the fields; cattle graze on the plain; corn stands tall
sand stretches as far as the eye can see; the fields lie flat; a combine harvests the wheat
camels cross the dunes; buffalo roam; the land is flat and endless; dunes ripple into the distance
crops ripple; the harvest stands in the fields; zebras graze; a windmill turns on the prairie
hay bales dot the field; tumbleweed rolls by; the fields are gold; farmers plough; the grass bends
[land=city place]
city; *skyscrapers; skyline; city skyline; *rooftops; downtown; *the streets; metropolis; town
*city lights; *tall buildings; *high-rises; *office towers; *the suburbs; *apartment blocks
urban skyline; cityscape; *city streets; *buildings; *glass towers; financial district
*tower blocks; *the roofs; *chimneys and roofs; avenue; *crowded streets; *the old town
*the housing estates; *streets and buildings; suburb; town centre; business district; megacity
*a forest of towers; *city rooftops; *rows of houses; *the capital; *the boulevards; *the city
*concrete and glass; boulevard; *traffic and towers; *an urban jungle; *steeples and domes
*city blocks; *street canyons; plaza; market square; *the neighbourhood; *brownstones; *slums
*favelas; *chimneys; *church spires; industrial district; railway station; *condos
*busy intersections; high street; *a rooftop terrace in town; balcony downtown; *the concrete jungle
*neon streets; *houses; *skyscraper windows; *traffic jams; *cranes over the city; city park
*parking lots; urban landscape; *an urban scene; conurbation; *downtown towers; townscape
*tenements; *the block; *spires; ghetto; *penthouses
[land=city name]
New York; Manhattan; London; Tokyo; Paris; Shanghai; Hong Kong; Chicago; Berlin; Dubai; Singapore
Los Angeles; Mumbai; Seoul; São Paulo; Moscow; Istanbul; Toronto; Mexico City; Sydney; Rome; Madrid
Brooklyn; Cairo; Delhi; Bangkok; Frankfurt; Vienna; Amsterdam; Beijing; Kuala Lumpur; San Francisco
Barcelona; Prague; Buenos Aires; Nairobi; Jakarta; Boston; Seattle; Warsaw; Budapest; Lagos; Glasgow
Manchester; Osaka; Melbourne; Las Vegas; NYC; Times Square; Gotham; Wall Street; Canary Wharf
Montmartre; Shibuya
[land=city where]
in the city; in town; downtown; over the rooftops; in the streets; from a rooftop
from a high-rise window; in the suburbs; in the metropolis; on the street; in an urban setting
from the top of a skyscraper; from my apartment window; on a city street; among skyscrapers; uptown
in the old town; on the avenue; from an office window; in the capital
[land=city adj]
urban; metropolitan; downtown; city; inner-city; municipal; suburban; big-city; built-up
[land=city fore]
traffic hums below; lights come on in the windows; skyscrapers reach for the sky; the city hums
the city sleeps; cars crawl through the streets; towers glitter; windows glow in the office blocks
neon signs flicker; smoke rises from the chimneys; taxis honk; people hurry along the pavements
the skyline glitters; towers stand in rows; commuters stream out of the subway
the city never sleeps; trams rattle past; buses crawl by; the skyline rises in the background
buildings crowd together; roofs shine; the city wakes up
"""
