package link

// For the fuzz tests of the two decoders.
var (
	ParseHello   = parseHello
	ParseAnswer  = parseAnswer
	AppendHello  = appendHello
	AppendAnswer = appendAnswer
)

const Welcome = codeWelcome
