// Mistyped names: which known names they resemble.

// The known names nearest to a mistyped one by edit distance, four letters at most. Where none is near, those that begin with it,
// or that share all words with it; none if there are none
def nearestOf(name, known) {
    def plain = plainName(name)
    def distances = known.collectEntries { other -> [other, distanceOf(plain, plainName(other))] }
    def near = distances.findAll { other, distance -> distance <= [[plain, plainName(other)]*.size().max().plus(1).intdiv(3), 4].min() }
    if (near) {
        return near.keySet().findAll { other -> near[other] == near.values().min() }.toList()
    }
    def words = wordsOf(name)
    return known.findAll { other ->
        plain.size() > 2 && plainName(other).startsWith(plain) || wordsOf(other).containsAll(words) || words.containsAll(wordsOf(other))
    }.toList()
}

// Whether one is the other with a letter mistyped, or two in a long name
def isSlipOf(name, other) {
    def plain = plainName(other)
    return plainName(name) && distanceOf(plainName(name), plain) <= (plain.size() > 6 ? 2 : plain.size() > 3 ? 1 : 0)
}

// Letters to insert, delete or change; two neighbours that are swapped count half
def distanceOf(one, other) {
    return org.codehaus.groovy.runtime.MethodRankHelper.damerauLevenshteinDistance(one.toList().toArray(), other.toList().toArray()) / 10
}

def plainName(name) {
    return name.replaceAll(/[^\p{L}\p{N}]/, '').toLowerCase()
}

def wordsOf(name) {
    return name.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/, '_').toLowerCase().tokenize('-_. ')
}
