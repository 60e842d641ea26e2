// The worker loop that the SDK's examples lead to: receive up to 10, handle one by one, delete one by one.
//
// Usage: loop ENDPOINT QUEUE_URL COUNT; ends when COUNT messages are deleted, and prints the seconds that took.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func handle(types.Message) error { return nil }

func main() {
	endpoint, queue := os.Args[1], os.Args[2]
	count, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	client := sqs.New(sqs.Options{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("x", "xxxxxxxxxxxxxxxxxxxx", ""),
	})
	began := time.Now()
	for done := 0; done < count; {
		answer, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(queue), MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageAttributeNames:       []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			log.Fatal(err)
		}
		for _, message := range answer.Messages {
			if err := handle(message); err != nil {
				continue
			}
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{
				QueueUrl: aws.String(queue), ReceiptHandle: message.ReceiptHandle,
			}); err != nil {
				log.Fatal(err)
			}
			done++
		}
	}
	fmt.Printf("%.3f\n", time.Since(began).Seconds())
}
