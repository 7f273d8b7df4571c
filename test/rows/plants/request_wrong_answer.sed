# who asks again gets the request back, and not the response
# file: src/request.c
# specs:
/^answer_known(/,/^}/s/request_response(request)/request_body(request)/
